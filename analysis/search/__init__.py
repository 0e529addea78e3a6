"""The parts of the EMM search: observations, brackets, the posterior of the curve, the choice of sizes."""
