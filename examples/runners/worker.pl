#!/usr/bin/env perl
# A runner for tq in Perl, with nothing but what Perl brings. One task at a time: it may be silent while it works.
#
#     tq work --runner 'perl worker.pl'
#     tq push reverse '"stressed"' --wait
use strict;
use warnings;
use JSON::PP;

open my $inbox,  '<&=', 3 or die "not started by tq: $!";
open my $outbox, '>&=', 4 or die "not started by tq: $!";
$outbox->autoflush(1);

# Texts stay texts: JSON::PP reads and writes UTF-8 itself.
my $json = JSON::PP->new->utf8->canonical->allow_nonref;

sub send_line { print {$outbox} $json->encode({@_}), "\n" }

my %tasks = (
    reverse => sub { my ($payload) = @_; scalar reverse $payload },
    sum     => sub {
        my ($payload, $progress) = @_;
        die { message => "the payload must be a list of numbers", retry => JSON::PP::false }
            if ref $payload ne 'ARRAY';
        my ($sum, $done) = (0, 0);
        for my $number (@$payload) {
            $sum += $number;
            $progress->(++$done / @$payload);
        }
        $sum;
    },
    flaky => sub {
        my ($payload, undef, $attempt) = @_;
        die "attempt $attempt fails\n" if $attempt <= $payload->{fail};
        $attempt;
    },
);

send_line(type => 'hello', protocol => 1, tasks => [sort keys %tasks], maxInFlight => 1);

while (defined(my $line = <$inbox>)) {
    my $message = $json->decode($line);
    my $type    = $message->{type};
    if ($type eq 'task') {
        my $run      = $message->{run};
        my $progress = sub { send_line(type => 'progress', run => $run, fraction => 0 + $_[0]) };
        print STDERR "$message->{name}, attempt $message->{attempt}\n";
        my $result = eval { $tasks{ $message->{name} }->($message->{payload}, $progress, $message->{attempt}) };
        if (my $error = $@) {
            send_line(type => 'error', run => $run, ref $error ? %$error : (message => $error =~ s/\n\z//r));
        }
        else { send_line(type => 'result', run => $run, result => $result) }
    }
    elsif ($type eq 'ping') { send_line(type => 'pong', n => $message->{n}) }
    elsif ($type eq 'bye')  { last }
}
