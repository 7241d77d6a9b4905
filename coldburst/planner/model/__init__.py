"""What one simulated run is made of: the scenario, its distributions, the client, what a run shows of an endpoint."""
