package auth

import (
	"crypto/sha256"
	"time"
)

// At most loginBurst attempts per loginWindow and source, and accountBurst on an
// account: more, so that nobody is locked out by one who tries from one place.
const (
	loginBurst   = 5
	accountBurst = 15
	loginWindow  = time.Minute
	// maxSources bounds the memory that attempts from many addresses take.
	maxSources = 10_000
	sweepEvery = time.Second
)

// Allow says whether source may try to log in once more, and counts the try.
func (a *Auth) Allow(source string) bool { return a.allow("from "+source, loginBurst) }

// AllowAccount says whether anybody may try to log in as this user once more,
// and counts the try, whether there is such a user or not.
func (a *Auth) AllowAccount(username string) bool {
	sum := sha256.Sum256([]byte(username)) // a name may be long, and there may be many
	return a.allow("as "+string(sum[:]), accountBurst)
}

func (a *Auth) allow(source string, burst int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	recent := since(a.attempts[source], now.Add(-loginWindow))
	if len(recent) >= burst {
		a.attempts[source] = recent
		return false
	}
	if len(recent) == 0 && len(a.attempts) >= maxSources && !a.forget(now) {
		return false
	}
	a.attempts[source] = append(recent, now)
	return true
}

// forget drops the sources whose attempts are over, not too often, and reports
// whether there is room again.
func (a *Auth) forget(now time.Time) bool {
	if now.Sub(a.swept) < sweepEvery {
		return false
	}
	a.swept = now
	for source, times := range a.attempts {
		if len(since(times, now.Add(-loginWindow))) == 0 {
			delete(a.attempts, source)
		}
	}
	return len(a.attempts) < maxSources
}

func since(times []time.Time, start time.Time) []time.Time {
	for len(times) > 0 && !times[0].After(start) {
		times = times[1:]
	}
	return times
}
