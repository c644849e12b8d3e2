"""A fast simulator of B-mode ultrasound: complex baseband in beam coordinates, blurred by FFT.

Lengths are in mm, frequencies in MHz, levels in dB, attenuation in dB/cm/MHz, impedance in MRayl. Arrays of a frame
are `(rows, columns)`: samples along the beam, then beams. Physics and measurements: docs/ultrasound_simulator.md.
"""
