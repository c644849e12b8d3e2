"""Streams of text tasks for language models."""
