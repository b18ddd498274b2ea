"""From trained weights to shipped files: export, known answers, cards."""
