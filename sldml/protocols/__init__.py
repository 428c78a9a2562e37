"""Protocols: which recordings train, validate, are exemplars and queries; class folds."""
