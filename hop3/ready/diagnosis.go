package ready

import "github.com/abilian/hop3/hop3"

// Diagnose says what an instance that serves HTTP does with ports in place of
// listening on its own; "" when it does that, when it does not run, or when it
// is to listen on a socket file.
func (p *Prober) Diagnose(i hop3.Instance) string { return diagnose(i) }
