"""What is wrong or odd with a dataset, found before it is trained on."""
