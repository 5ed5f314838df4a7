package hop3

// SecondFactor is what a user proves beside their password: codes of an app on
// their telephone (RFC 6238).
type SecondFactor struct {
	Secret    string `json:"secret"`    // base32, as telephones take it
	Confirmed bool   `json:"confirmed"` // asked for only once a code was shown to be right
	// LastStep is that of the newest code that was taken: none is taken twice.
	LastStep int64 `json:"last_step"`
	// Recovery holds the hashes of the codes that work once each, in place of
	// one of the telephone's.
	Recovery []string `json:"recovery"`
}

// Required reports whether a password is not enough.
func (f *SecondFactor) Required() bool { return f != nil && f.Confirmed }
