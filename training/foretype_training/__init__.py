"""From a folder of code to a bundle: corpus, training, evaluation, export, report."""
