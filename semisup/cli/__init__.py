"""Commands of `semisup`: their parser, and one module per command with its arguments."""
