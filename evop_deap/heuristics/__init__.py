"""Published rules that pick a pattern without searching, one a file."""
