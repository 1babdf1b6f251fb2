/// Children that are made when they come near the screen, and stay.
import { type ReactNode, useEffect, useRef, useState } from "react";

export function Near({ children, height }: { children: ReactNode; height: number }) {
  const box = useRef<HTMLDivElement>(null);
  const [near, setNear] = useState(false);
  useEffect(() => {
    if (near || !box.current) return;
    const watch = new IntersectionObserver(
      (seen) => seen.some((one) => one.isIntersecting) && setNear(true),
      { rootMargin: "400px" },
    );
    watch.observe(box.current);
    return () => watch.disconnect();
  }, [near]);
  return (
    <div ref={box} style={{ minBlockSize: near ? undefined : height }}>
      {near && children}
    </div>
  );
}
