package auth

import (
	"strings"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3"
)

// The vectors are those of RFC 6238, appendix B, cut to 6 digits.
func TestCodesOfTheRFC(t *testing.T) {
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if got := totp([]byte("12345678901234567890"), at/30); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
}

func TestACodeIsTakenOnce(t *testing.T) {
	a := newAuth(t)
	now := time.Unix(1111111111, 0)
	a.now = func() time.Time { return now }
	f := hop3.SecondFactor{Secret: base32Text.EncodeToString([]byte("12345678901234567890"))}
	if a.TakeCode(&f, "050472") || a.TakeCode(&f, "") || f.LastStep != 0 {
		t.Error("a wrong code is taken")
	}
	if !a.TakeCode(&f, "050 471") {
		t.Fatal("the right code is refused")
	}
	if a.TakeCode(&f, "050471") {
		t.Error("a code is taken twice")
	}
	if a.TakeCode(&f, totp([]byte("12345678901234567890"), 1111111111/30-1)) {
		t.Error("a code from before the last one is taken")
	}
	now = now.Add(30 * time.Second)
	if a.TakeCode(&f, "050471") {
		t.Error("a code is taken again a step later")
	}
	now = now.Add(time.Hour)
	if a.TakeCode(&f, totp([]byte("12345678901234567890"), now.Unix()/30+2)) || a.TakeCode(&f, totp([]byte("12345678901234567890"), now.Unix()/30-2)) {
		t.Error("a code of another time is taken")
	}
	if !a.TakeCode(&f, totp([]byte("12345678901234567890"), now.Unix()/30+1)) {
		t.Error("a clock that is a step ahead is refused")
	}
}

func TestRecoveryCodesWorkOnce(t *testing.T) {
	a := newAuth(t)
	f := a.NewSecondFactor()
	codes := a.NewRecoveryCodes(&f)
	if len(codes) != recoveryCodes || strings.Contains(strings.Join(f.Recovery, " "), codes[0]) {
		t.Fatalf("codes %v, kept %v", codes, f.Recovery)
	}
	if a.TakeCode(&f, codes[0]) {
		t.Error("one works before the factor is confirmed")
	}
	f.Confirmed = true
	if !a.TakeCode(&f, strings.ToUpper(codes[0])) || a.TakeCode(&f, codes[0]) || a.TakeCode(&f, "aaaa-bbbb-cccc-dddd") || !a.TakeCode(&f, codes[7]) {
		t.Error("recovery codes do not work once each")
	}
	if url := a.SecondFactorURL(f, "hop3.example.com", "ada@x"); !strings.HasPrefix(url, "otpauth://totp/hop3.example.com:ada@x?issuer=hop3.example.com&secret="+f.Secret) {
		t.Error(url)
	}
}
