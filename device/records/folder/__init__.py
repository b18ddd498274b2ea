"""The folder of the records: who owns it, and what shows that it was used."""
