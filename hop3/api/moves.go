package api

import "github.com/abilian/hop3/hop3"

// Of two servers between which an app moves, the one that it goes to answers
// below MovesPath + app:
//
//	POST   /offer             MoveOffer, at most MaxMoveOffer -> MoveAnswer
//	PUT    /copies/ID/NAME…   a file of a copy -> nothing
//	POST   /copies/ID/first   -> MoveEvents, a line of JSON each
//	POST   /copies/ID/last    -> MoveEvents
//	GET    /                  -> MoveAnswer
//	DELETE /                  -> nothing
//
// Requests prove themselves by what `app receive` gave, as a bearer token.
// Errors are as those of all that is not JSON-RPC: {"error": Error}.
const (
	MovesPath    = "/api/moves/"
	MaxMoveOffer = 1 << 20
)

// MoveRelayHeader proves that a request for an app that moved comes from the
// server that it came from, whose word on the client's address counts.
const MoveRelayHeader = "Hop3-Relay"

// MoveEvent is a line of what takes long of a move. The last has Answer or
// Error; one that has nothing keeps the connection alive.
type MoveEvent struct {
	Log    *MoveLog         `json:"log,omitempty"`
	Answer *hop3.MoveAnswer `json:"answer,omitempty"`
	Error  *Error           `json:"error,omitempty"`
}

// MoveLog is a line for people.
type MoveLog struct {
	Text  string `json:"msg"`
	Level int    `json:"level,omitempty"`
	Color string `json:"fg,omitempty"`
}
