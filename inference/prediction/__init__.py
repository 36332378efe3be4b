"""What a posterior says of readings it has not seen: other scenarios, new subjects, subjects left out."""
