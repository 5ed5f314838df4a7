package platform

import (
	"context"
	"fmt"
	"time"

	"github.com/abilian/hop3/hop3"
)

// handoverPatience is how long who deploys waits to hear how the requests fared
// that were under way. Those that take longer go on undisturbed.
const handoverPatience = time.Second

// watch follows the requests that are under way to a release which is about to
// be replaced; nil when there is none, or the proxy cannot tell.
func (p *Platform) watch(old hop3.Release) func() hop3.Handover {
	witness, ok := p.Proxy.(hop3.Witness)
	if !ok || old.Number == 0 {
		return nil
	}
	return witness.Watch(old.ID())
}

// tellHandover tells, from what the router saw, what the switch cost.
func (p *Platform) tellHandover(out hop3.Output, old hop3.Release, switched string, handover func() hop3.Handover) {
	if handover == nil {
		return
	}
	if handover().Left > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), handoverPatience)
		defer cancel()
		_ = p.Proxy.Drain(ctx, old.ID()) // what is left by then is told
	}
	say(out, "       %s", handoverLine(old.Number, switched, handover(), p.Settings.DrainTimeout))
}

func handoverLine(old int, switched string, h hop3.Handover, patience time.Duration) string {
	line := fmt.Sprintf("Switched from v%d in %s", old, switched)
	if h.UnderWay == 0 {
		return line + ", with no request under way"
	}
	finished := h.UnderWay - h.Left - h.Failed
	line += fmt.Sprintf(" with %d under way: %d finished on v%d, %d failed", h.UnderWay, finished, old, h.Failed)
	if h.Left > 0 {
		line += fmt.Sprintf(", %d go on there for up to %s", h.Left, patience)
	}
	return line
}
