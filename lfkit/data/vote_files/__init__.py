"""Votes made elsewhere, and votes for elsewhere: every format, both ways."""

from lfkit.data.vote_files.read_votes import read_votes as read_votes
from lfkit.data.vote_files.vote_file import VoteFile as VoteFile
from lfkit.data.vote_files.write_votes import FORMATS as FORMATS
from lfkit.data.vote_files.write_votes import write_votes as write_votes
