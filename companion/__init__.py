"""Companion of *Attention by Experiment*: attention and BERT, small enough to read.

Each module is meant to be copied; its first lines say which files go with it. Import
what you need from the module that has it, for example `from companion.attention import
MultiHeadAttention`.
"""

__version__ = "0.1.0"
