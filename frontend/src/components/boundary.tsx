/// A page that breaks leaves the rest standing, says so, and lets one try again.
import { Component, type ReactNode } from "react";
import { Empty } from "./notes";

interface BoundaryProps {
  /** Another place is another try. */
  place: string;
  children: ReactNode;
}

export class Boundary extends Component<BoundaryProps, { broken: string | null }> {
  state = { broken: null };

  static getDerivedStateFromError(error: unknown) {
    return { broken: error instanceof Error ? error.message : String(error) };
  }

  componentDidUpdate(before: BoundaryProps) {
    if (before.place !== this.props.place && this.state.broken) this.setState({ broken: null });
  }

  render() {
    if (this.state.broken === null) return this.props.children;
    return (
      <Empty title="This page broke" heading="h1">
        <p>The mistake is the dashboard's: {this.state.broken}</p>
        <button type="button" onClick={() => this.setState({ broken: null })}>
          Try again
        </button>
      </Empty>
    );
  }
}
