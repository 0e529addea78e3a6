"""The search for the EMM of each factor value: a few trainings with an error bar instead of a grid."""
