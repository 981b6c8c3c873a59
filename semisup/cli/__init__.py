"""Commands of `semisup`: their parser, and one module for each command, which defines its arguments."""
