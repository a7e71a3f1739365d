"""Where the parts of a model are, what each costs, and how to run some of them alone."""
