"""All code that depends on transformers: loading, anatomy, surgery, export."""
