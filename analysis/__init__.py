"""Reading result folders: tables, EMM, figures and reports. Loads neither torch nor ray."""
