package platform

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// crashTick is how often is looked for instances that ended by themselves.
const crashTick = 5 * time.Second

// watchCrashes notes instances that ended by themselves and were started again,
// until ctx ends.
func (p *Platform) watchCrashes(ctx context.Context) {
	known := map[string]int{} // restarts, by release and instance
	every(ctx, crashTick, func() { p.guard("looking for crashes", func() { known = p.noteCrashes(ctx, known) }) })
}

// noteCrashes compares the restarts of all instances with those that were
// known, and returns those that are known now.
func (p *Platform) noteCrashes(ctx context.Context, known map[string]int) map[string]int {
	now := make(map[string]int, len(known))
	for _, r := range p.running.releases() {
		instances, err := p.Runtime.Instances(ctx, r.ID())
		if err != nil {
			p.Logger.Warn("asking for the instances", zap.String("app", r.App), zap.Error(err))
			continue
		}
		for _, i := range instances {
			key := r.App + "/" + strconv.Itoa(r.Number) + "/" + instanceName(i)
			before, seen := known[key]
			now[key] = i.Restarts
			// One that is sick is restarted by us, and noted there.
			if !seen || i.Restarts <= before || strings.HasPrefix(i.LastExit, healthWhy) {
				continue
			}
			kind := hop3.EventAppCrashed
			if strings.HasPrefix(i.LastExit, "out of memory") {
				kind = hop3.EventAppOOM
			}
			e := releaseEvent(ctx, kind, r, "%s of '%s' ended: %s", instanceName(i), r.App, concealed(r.Env, i.LastExit))
			e.Actor = "" // nobody asked for it
			e.Data = map[string]string{"instance": instanceName(i), "restarts": strconv.Itoa(i.Restarts)}
			p.noteBurst(e, r.App)
		}
	}
	return now
}

// releases returns what runs.
func (s *running) releases() []hop3.Release {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]hop3.Release, 0, len(s.apps))
	for _, a := range s.apps {
		all = append(all, a.release)
	}
	return all
}

// CertificateOutcome notes how an attempt to get a certificate for a host of an
// app ended.
func (p *Platform) CertificateOutcome(host, app string, err error) {
	if err != nil {
		p.noteBurst(event(context.Background(), hop3.EventCertificateFailed, app, "%s", hop3.MessageOf(err)), host)
		return
	}
	p.happened(event(context.Background(), hop3.EventCertificateIssued, app, "a certificate for %s was issued", host))
}

// expiry is what was said of certificates that end soon.
type expiry struct {
	mu     sync.Mutex
	looked time.Time
	said   map[string]time.Time // by host: the end that it was said of
}

// expiresSoon is how long before its end a certificate is late: authorities'
// are renewed before.
const expiresSoon = 14 * 24 * time.Hour

// watchExpiry notes, once an hour at most and once for each certificate, those
// that end soon.
func (p *Platform) watchExpiry(ctx context.Context) {
	p.expiry.mu.Lock()
	defer p.expiry.mu.Unlock()
	if p.now().Sub(p.expiry.looked) < time.Hour {
		return
	}
	p.expiry.looked = p.now()
	certificates, err := p.Certificates(ctx, Actor{Admin: true}, "")
	if err != nil {
		p.Logger.Warn("looking at the certificates", zap.Error(err))
		return
	}
	said := map[string]time.Time{}
	for _, c := range certificates {
		late := c.NotAfter.Sub(p.now())
		if c.Kind == "" || hop3.LocalHost(strings.TrimPrefix(c.Host, "*.")) || late > expiresSoon || c.Kind != hop3.CertificateCustom && late > expiresSoon/2 {
			continue
		}
		if said[c.Host] = c.NotAfter; !p.expiry.said[c.Host].Equal(c.NotAfter) {
			p.happened(event(ctx, hop3.EventCertificateExpiring, c.App, "the certificate for %s ends on %s", c.Host, c.NotAfter.UTC().Format(time.DateOnly)))
		}
	}
	p.expiry.said = said
}
