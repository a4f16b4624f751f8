"""Point doses and monitor units by the factors of AAPM TG-71, and a dose in a plane."""
