"""The page: Streamlit; layout and words only, no model and no pixel is touched here."""
