"""Add speech to a text language model for classification, cheaply."""

__version__ = "0.1.0"
