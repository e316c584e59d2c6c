package leasemodel

const mails = 1

// Mail is the mailbox of messages to the room.
type Mail struct {
	Gone    [mails]bool
	Written [mails]bool
}
