"""The command line of `semisup`: the parser, and one module for each command."""
