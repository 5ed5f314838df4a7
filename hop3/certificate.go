package hop3

import "time"

// Certificate is what is known of the certificate of one host.
type Certificate struct {
	Host string
	Kind string // CertificateACME, CertificateInternal or CertificateCustom; "" when there is none
	// Issuer is who vouches for it, by the name in the certificate.
	Issuer    string
	Names     []string // that it is good for
	NotBefore time.Time
	NotAfter  time.Time
	// Error says why the last attempt to get one, or the next one, failed; ""
	// when it did not.
	Error    string
	FailedAt time.Time
	NextTry  time.Time // not before then is it tried again by itself; zero when trying is no use
}

// The kinds of certificates.
const (
	CertificateACME     = "acme"     // from a public authority
	CertificateInternal = "internal" // from our own, for local names
	CertificateCustom   = "custom"   // given by a user
)
