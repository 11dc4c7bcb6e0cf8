"""What collectors share: untrusted bytes into regular values, whoever wrote them. Nothing here knows the store, or what a run is made of afterwards."""
