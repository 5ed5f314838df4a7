package hop3

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Move is the move of an app from one server to another, as one of the two
// knows it. The other one alone knows what it calls itself done: the app is
// where its Move says so.
type Move struct {
	App string
	// Incoming says that the app comes here; otherwise it goes.
	Incoming bool
	State    MoveState
	// Server is the address of the server that the app goes to; of one that
	// comes it is "".
	Server string
	// Secret is what this server proves itself with there; Sum is what it is
	// known by where the app comes to. Each has one of the two.
	Secret, Sum string
	// By is the user who lets the app come, or has it go; Admin says that they
	// administered the server, By "" that it was the host's administrator.
	By    string
	Admin bool
	// Created says that the app of this name was made for one that comes.
	Created bool
	// Addons are those made for an app that comes, in place of those it had.
	Addons []MovedAddon
	// Release is what was built of an app that comes.
	Release int
	// Relay is the address at which the server that the app went to serves
	// apps.
	Relay string
	// Hosts are those that the app has where it went.
	Hosts []string
	// Told says that the names of the app point elsewhere, and that this was
	// said.
	Told      bool
	StartedAt time.Time
	// Expires is until when an app can come; zero once it has.
	Expires time.Time
}

// MovedAddon is an addon that was made in the place of another one of its type.
type MovedAddon struct {
	Type, Was, Is string // the names
}

// MoveState is how far a move is.
type MoveState string

// The states of a move.
const (
	// MoveExpected is one that was allowed and has not begun.
	MoveExpected MoveState = "expected"
	// MoveCopying is one of which the first copy is made, sent and unpacked.
	MoveCopying MoveState = "copying"
	// MovePrepared is one whose app has been built where it goes.
	MovePrepared MoveState = "prepared"
	// MoveSwitching is one whose app runs on neither side, or on one of them
	// that the other does not know of yet.
	MoveSwitching MoveState = "switching"
	// MoveDone is one whose app is on the other side.
	MoveDone MoveState = "done"
)

// movePrefix lets people, and programs that look for secrets, see what it is.
const movePrefix = "hop3move_"

// NewMoveSecret returns a secret of 256 random bits, and what it is known by.
func NewMoveSecret() (secret, sum string) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	secret = movePrefix + base64.RawURLEncoding.EncodeToString(b[:])
	return secret, MoveSum(secret)
}

// MoveSum returns what a secret is known by.
func MoveSum(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Knows reports whether a secret is that of the move.
func (m Move) Knows(secret string) bool {
	return m.Sum != "" && subtle.ConstantTimeCompare([]byte(m.Sum), []byte(MoveSum(secret))) == 1
}

// Gone reports whether an app that goes is not this server's to run any more,
// as far as it knows.
func (m Move) Gone() bool {
	return !m.Incoming && (m.State == MoveDone || m.State == MoveSwitching)
}

// MoveOffer is what a server says of an app that it wants to move.
type MoveOffer struct {
	Hosts  []string `json:"hosts"`  // of the app, without those under the server's own name
	Addons []string `json:"addons"` // their types
}

// MoveAnswer is what the other server says of an app that comes to it.
type MoveAnswer struct {
	State   MoveState `json:"state"`
	Release int       `json:"release,omitempty"`
	Hosts   []string  `json:"hosts,omitempty"`
	URLs    []string  `json:"urls,omitempty"`
	// APIPort is where only clients are answered, HTTPPort and HTTPSPort are
	// where apps are served; 0 where there is none.
	APIPort   int `json:"api_port,omitempty"`
	HTTPPort  int `json:"http_port,omitempty"`
	HTTPSPort int `json:"https_port,omitempty"`
	// Loading is how long it took to give the addons what they held.
	Loading time.Duration `json:"loading,omitempty"`
}

// RelayAddress returns where the server at an address serves apps: there, too,
// unless that is where it answers clients only.
func (a MoveAnswer) RelayAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil || a.APIPort == 0 || u.Port() != strconv.Itoa(a.APIPort) || a.APIPort == a.HTTPPort || a.APIPort == a.HTTPSPort {
		return address
	}
	port := a.HTTPPort
	if u.Scheme == "https" {
		port = a.HTTPSPort
	}
	if port != 0 {
		u.Host = net.JoinHostPort(u.Hostname(), strconv.Itoa(port))
	}
	return u.String()
}

// RelayTarget is where requests for an app that went go.
type RelayTarget struct {
	Server string // URL
	Secret string // which the server there knows us by
	// Hosts are those that the app has there. A request for another one is
	// made one for the first.
	Hosts []string
}

// ValidateServerAddress reports a CodeInvalid error unless text can be the
// address of another server that an app goes to.
func ValidateServerAddress(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return Errorf(CodeInvalid, "%q is not the address of a server", shorten(text, 80)).WithHint("Write it as https://hop3.example.com.")
	}
	switch ip, _ := netip.ParseAddr(u.Hostname()); {
	case u.Scheme == "https", u.Scheme == "http" && (ip.IsLoopback() || u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost")):
		return nil
	case u.Scheme == "http":
		return Errorf(CodeInvalid, "%s is reached in clear: everybody on the way could read all that the app has", shorten(text, 80)).WithHint("Give its https address.")
	}
	return Errorf(CodeInvalid, "%q is no address by which a server reaches another one", shorten(text, 80)).WithHint("Give its https address.")
}
