package certs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"github.com/abilian/hop3/hop3"
)

// attempt is one attempt to get a certificate. Whoever needs it waits for the
// same one.
type attempt struct {
	done chan struct{}
	err  error // read after done
	// failed is what the authority said, from the event; cancel keeps certmagic
	// from trying again by its own clock.
	failed error
	cancel context.CancelFunc
}

// attemptKey finds the attempt in the context of an event.
type attemptKey struct{}

// attemptTime bounds one attempt.
const attemptTime = 5 * time.Minute

// pauses are how long nothing is tried by itself after so many failures in a
// row. Authorities count failures, too: Let's Encrypt allows 5 for a host in an
// hour.
var pauses = []time.Duration{time.Minute, 5 * time.Minute, 20 * time.Minute, time.Hour, 6 * time.Hour}

// Obtain gets a certificate for a host, or another one when there is one
// already and renew says so, and waits for it. It does not mind that the last
// attempt has just failed. The error says what the authority said.
func (k *Keeper) Obtain(ctx context.Context, host string, renew bool) error {
	host = hop3.NormalizeHost(host)
	app, subject := k.subject(host)
	switch {
	case app != "" && k.custom.find(app, host, time.Now()) != nil:
		return hop3.Errorf(hop3.CodeConflict, "%s has a certificate that was given with `hop3 cert add`.", host)
	case app == "" && subject == "":
		return hop3.Errorf(hop3.CodeNotFound, "No app has the host %s.", host)
	case subject == "":
		return needsDNS(host)
	}
	return k.get(ctx, subject, renew, true)
}

// needsDNS says why there is no certificate for a wildcard, or for a host that
// only a wildcard covers.
func needsDNS(host string) error {
	return hop3.Errorf(hop3.CodeInvalid, "%s needs a wildcard's certificate, which authorities give by a DNS challenge only.", host).
		WithHint("Set ACME_DNS_PROVIDER and ACME_DNS_CONFIG for the server, or give a certificate with `hop3 cert add`.")
}

// lacksDNS reports whether host is a wildcard that there can be no certificate
// for, other than one that a user brings.
func (k *Keeper) lacksDNS(host string) bool {
	parent, wildcard := strings.CutPrefix(host, "*.")
	if !wildcard || hop3.LocalHost(parent) {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sources != nil && !k.sources.wildcards
}

// get joins the attempt that is under way for a subject, or begins one, and
// waits for its end. Without force it gives up at once while the last failure
// is too recent.
func (k *Keeper) get(ctx context.Context, subject string, renew, force bool) error {
	a, err := k.begin(subject, renew, force)
	if err != nil {
		return err
	}
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// begin is get without the wait.
func (k *Keeper) begin(subject string, renew, force bool) (*attempt, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a := k.attempts[subject]; a != nil {
		return a, nil
	}
	if r := k.records[subject]; r != nil && !force && time.Now().Before(r.next) {
		return nil, fmt.Errorf("no certificate for %s, next attempt at %s: %w", subject, r.next.UTC().Format(time.TimeOnly), r.err)
	}
	if err := k.ctx.Err(); err != nil {
		return nil, err
	}
	a := &attempt{done: make(chan struct{})}
	k.attempts[subject] = a
	k.tasks.Go(func() { k.try(a, subject, renew, force) })
	return a, nil
}

// try makes one attempt. It does not depend on who asked for it.
func (k *Keeper) try(a *attempt, subject string, renew, force bool) {
	defer func() {
		if p := recover(); p != nil {
			a.err = fmt.Errorf("getting a certificate for %s panicked: %v", subject, p)
		}
		k.mu.Lock()
		delete(k.attempts, subject)
		k.mu.Unlock()
		close(a.done)
	}()
	select {
	case k.slots <- struct{}{}:
		defer func() { <-k.slots }()
	case <-k.ctx.Done():
		a.err = k.ctx.Err()
		return
	}
	ctx, cancel := context.WithTimeout(context.WithValue(k.ctx, attemptKey{}, a), attemptTime)
	defer cancel()
	a.cancel = cancel
	err := k.ask(ctx, subject, renew, force)
	if err != nil && a.failed != nil {
		err = a.failed
	}
	if k.ctx.Err() != nil {
		a.err = k.ctx.Err()
		return
	}
	a.err = explain(subject, err)
	k.note(subject, a.err)
	if a.err == nil {
		k.reload(ctx, subject)
	}
}

// ask has certmagic ask the authority. Its functions that wait for a person are
// not used: they would ask on our terminal for what is missing. Without force a
// certificate is not renewed that another server has just renewed.
func (k *Keeper) ask(ctx context.Context, subject string, renew, force bool) error {
	cfg, err := k.config(subject)
	if err != nil {
		return err
	}
	if renew { // or obtain, when there is none after all
		return cfg.RenewCertAsync(ctx, subject, force)
	}
	return cfg.ObtainCertAsync(ctx, subject)
}

// reload has the next handshake use what is in the storage now.
func (k *Keeper) reload(ctx context.Context, subject string) {
	k.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: subject}})
	cfg, err := k.config(subject)
	if err == nil {
		_, err = cfg.CacheManagedCertificate(ctx, subject)
	}
	if err != nil {
		k.options.Logger.Error("loading a certificate", zap.String("host", subject), zap.Error(err))
	}
	k.tell(subject)
}

// tell calls those who wait for changes.
func (k *Keeper) tell(host string) {
	k.mu.Lock()
	all := k.changed
	k.mu.Unlock()
	for _, f := range all {
		f(host)
	}
}

// note keeps how an attempt ended.
func (k *Keeper) note(subject string, err error) {
	if k.options.Outcome != nil {
		k.options.Outcome(subject, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.good, subject)
	if err == nil {
		delete(k.records, subject)
		return
	}
	r := k.records[subject]
	if r == nil {
		r = &record{}
		k.records[subject] = r
	}
	r.err, r.at = err, time.Now()
	r.next = r.at.Add(pauses[min(r.failures, len(pauses)-1)])
	r.failures++
	k.options.Logger.Warn("no certificate", zap.String("host", subject), zap.Error(err), zap.Time("next", r.next))
}

// event is called by certmagic. Those of our own attempts only leave what the
// authority said; those of its maintenance are noted.
func (k *Keeper) event(ctx context.Context, name string, data map[string]any) error {
	subject, _ := data["identifier"].(string)
	switch name {
	case "cert_obtaining":
		// What nobody has any more is not renewed.
		if _, wanted := k.subject(subject); wanted == "" {
			return fmt.Errorf("no app has the host %s any more", subject)
		}
	case "cert_failed":
		err, _ := data["error"].(error)
		if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
			a.failed = err
			a.cancel()
			return nil
		}
		k.note(subject, explain(subject, err))
	case "cert_obtained":
		k.options.Logger.Info("certificate", zap.String("host", subject), zap.Any("issuer", data["issuer"]))
		if _, ours := ctx.Value(attemptKey{}).(*attempt); !ours {
			k.note(subject, nil)
			k.tell(subject)
		}
	}
	return nil
}

// explain makes a sentence of what an authority said.
func explain(subject string, err error) error {
	if err == nil {
		return nil
	}
	var p acme.Problem
	if errors.As(err, &p) {
		text := p.Detail
		for _, sub := range p.Subproblems {
			text += "; " + sub.Detail
		}
		return hop3.Errorf(hop3.CodeUnavailable, "the authority gives no certificate for %s: %s", subject, text).WithHint("%s", hintOf(p.Type))
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return hop3.Errorf(hop3.CodeUnavailable, "the authority did not answer within %s for %s", attemptTime, subject)
	}
	return hop3.Errorf(hop3.CodeUnavailable, "no certificate for %s: %w", subject, err)
}

// hintOf says what to do about a problem by its type (RFC 8555, section 6.7).
func hintOf(problem string) string {
	switch problem {
	case acme.ProblemTypeConnection, acme.ProblemTypeUnauthorized, acme.ProblemTypeIncorrectResponse:
		return "The authority asks this server, on port 80 or 443, under that name: the DNS record must point here, and both ports must be open."
	case acme.ProblemTypeDNS:
		return "The DNS record of the name is missing, or its name server does not answer."
	case acme.ProblemTypeCAA:
		return "A CAA record of the domain allows other authorities only."
	case acme.ProblemTypeRateLimited:
		return "The authority has given, or refused, too many for this domain lately."
	case acme.ProblemTypeRejectedIdentifier:
		return "The authority gives none for names of this kind."
	}
	return "The server tries again by itself; `hop3 cert renew` tries at once."
}
