package platform

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/abilian/hop3/hop3"
)

// sampleTraffic is how often the traffic is sampled.
const sampleTraffic = 2 * time.Second

// sampleAll lets the proxy know the traffic of lately until ctx ends.
func (p *Platform) sampleAll(ctx context.Context) {
	if recorder, ok := p.Proxy.(hop3.Recorder); ok {
		every(ctx, sampleTraffic, func() { p.guard("sampling the traffic", func() { recorder.Sample(p.now()) }) })
	}
}

// Figures is what a server tells of an app besides its traffic.
type Figures struct {
	App       string
	Instances map[string]int // running now, by process type; 0 for those that should be
	Usage     hop3.Usage
	Measured  bool      // Usage is known
	Expires   time.Time // the first of its hosts' certificates to do so; zero for none
}

// Figures returns those of every app, by name.
func (p *Platform) Figures(ctx context.Context) ([]Figures, error) {
	apps, err := p.Store.Apps(ctx)
	if err != nil {
		return nil, err
	}
	expires, err := p.expiries.get(ctx, p)
	if err != nil {
		return nil, err
	}
	all := make([]Figures, 0, len(apps))
	for _, app := range apps {
		f := Figures{App: app.Name, Instances: map[string]int{}, Expires: expires[app.Name]}
		if app.Live != 0 {
			instances, err := p.Runtime.Instances(ctx, hop3.ReleaseID{App: app.Name, Number: app.Live})
			if err != nil {
				return nil, err
			}
			for _, i := range instances {
				n := f.Instances[i.Type]
				if i.State == hop3.InstanceRunning {
					n++
				}
				f.Instances[i.Type] = n
			}
		}
		f.Usage, f.Measured = p.usage(hop3.ReleaseID{App: app.Name}, "", 0)
		all = append(all, f)
	}
	return all, nil
}

// Deploys returns how many deploys have ended since the server started, by how:
// "live", "failed" or "canceled".
func (p *Platform) Deploys() map[string]int64 {
	return map[string]int64{"live": p.deploys.live.Load(), "failed": p.deploys.failed.Load(), "canceled": p.deploys.canceled.Load()}
}

// Private

// usage is hop3.UsageMeter's.
func (p *Platform) usage(id hop3.ReleaseID, processType string, ordinal int) (hop3.Usage, bool) {
	meter, ok := p.Runtime.(hop3.UsageMeter)
	if !ok {
		return hop3.Usage{}, false
	}
	return meter.Usage(id, processType, ordinal)
}

// ended counts the deploys by how they ended.
type ended struct{ live, failed, canceled atomic.Int64 }

func (e *ended) count(err error) {
	switch {
	case err == nil:
		e.live.Add(1)
	case hop3.CodeOf(err) == hop3.CodeCanceled:
		e.canceled.Add(1)
	default:
		e.failed.Add(1)
	}
}

// expiriesLast is for how long the expiries of certificates are remembered:
// finding out takes a look at a file for each host.
const expiriesLast = 5 * time.Minute

// expiries is when the certificates of each app's hosts begin to expire.
type expiries struct {
	mu    sync.Mutex
	found time.Time
	byApp map[string]time.Time
}

func (e *expiries) get(ctx context.Context, p *Platform) (map[string]time.Time, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.byApp != nil && p.now().Sub(e.found) < expiriesLast {
		return e.byApp, nil
	}
	hosts, err := p.Store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	byApp := map[string]time.Time{}
	for host, app := range hosts {
		end := p.Certs.Certificate(ctx, host).NotAfter
		if first := byApp[app]; !end.IsZero() && (first.IsZero() || end.Before(first)) {
			byApp[app] = end
		}
	}
	e.byApp, e.found = byApp, p.now()
	return byApp, nil
}
