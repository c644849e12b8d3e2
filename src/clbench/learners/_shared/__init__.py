"""What several families of learners use."""
