"""The tables of boards, from the files of their cells."""
