"""What the platform says about itself: the APIs, the binary messages and the SDK, as pages."""
