"""Commands of `semisup`: one file per command, arguments only."""
