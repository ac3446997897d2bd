"""Networks as other libraries want their models: advcore.adapters.torch, .foolbox and .art, imported when needed."""
