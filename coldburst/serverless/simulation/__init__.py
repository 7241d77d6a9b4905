"""An endpoint with modelled workers in one process, in virtual time or on the wall clock."""
