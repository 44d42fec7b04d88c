"""The only room that knows Hydra and OmegaConf: config root, validation, keys, parts, sweeps, launching."""
