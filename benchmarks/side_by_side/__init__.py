"""varinv beside the packages a user would pick instead: seconds to equal accuracy, in one run, by one command."""
