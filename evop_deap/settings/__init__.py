"""Options as frozen dataclasses, and the flags and YAML files made from them."""
