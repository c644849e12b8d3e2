"""Streams whose models are compressed after they have learnt the tasks of another stream."""
