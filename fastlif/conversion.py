MultiStep=convert=None
