package hop3

// Account is a login into an app whose password the server made up: the app's
// first account, [admin], or the one its smoke test signs in with, [probe].
type Account struct {
	Username string
	Email    string
	Password string
	Created  bool // the command that makes it has succeeded, where there is one
	Shown    bool // to who deployed, which happens once
}

// AdminAccount is [admin] of a manifest.
type AdminAccount struct {
	Username string // may be empty when Email is not
	Email    string // OperatorEmail means the address of the server's operator
	Password Generate
	Create   string // run once, after a deploy that succeeded; idempotent
	Login    string // what the app signs in with: "username", "email", or "" for either
}

// OperatorEmail is the word for the address of the server's operator.
const OperatorEmail = "operator"

// ProbeAccount is [probe] of a manifest.
type ProbeAccount struct {
	Username string
	Email    string
	Create   string
}

// ProbeUsername is the name of a probe's account that has none.
const ProbeUsername = "hop3probe"
