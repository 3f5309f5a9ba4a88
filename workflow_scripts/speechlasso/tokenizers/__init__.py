"""Audio tokenizers: each turns a waveform into codes, n_layers x n_frames integers."""
