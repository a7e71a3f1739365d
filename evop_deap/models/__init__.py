"""Everything that knows transformers: loading, anatomy, surgery, export."""
